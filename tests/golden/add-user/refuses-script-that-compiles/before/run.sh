#!/bin/sh
set -e
clang++ -O3 server.cc -o server
exec ./server
