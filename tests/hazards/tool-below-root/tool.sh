#!/bin/sh
echo at work
