module example.org/tides

go 1.24

require example.org/almanac v1.3.0
