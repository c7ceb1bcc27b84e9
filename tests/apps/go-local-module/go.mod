module example.org/invoice

go 1.24

require example.org/money v0.0.0

replace example.org/money => ./money
