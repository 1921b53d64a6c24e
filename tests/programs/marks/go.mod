module marks

go 1.19
