#!/bin/sh
echo probing
