#!/bin/sh
touch /app/alive
curl -fs localhost:3000
