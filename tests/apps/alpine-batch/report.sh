#!/bin/sh
# Adds up a column of numbers and keeps the sum beside it.
set -e
awk '{ sum += $2 } END { print "sum", sum }' "$1" > sum.txt
cat sum.txt
