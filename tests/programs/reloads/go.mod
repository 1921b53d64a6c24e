module reloads

go 1.19
