module example.com/x

go 1.22

require example.com/dep v1.2.0
replace example.com/local => ./local
