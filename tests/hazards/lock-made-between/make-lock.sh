mv lock.json package-lock.json
