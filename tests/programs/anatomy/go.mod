module anatomy

go 1.19
