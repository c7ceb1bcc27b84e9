module x

go 1.22

require example.com/s v0.0.0

replace example.com/s => ../shared
