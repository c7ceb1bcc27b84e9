import json
with open('state.json', 'w') as f:
    json.dump({}, f)
