#!/bin/sh
exec tcpdump -i any -w -
