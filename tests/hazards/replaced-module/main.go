package main

import _ "example.org/lib"

func main() {}
