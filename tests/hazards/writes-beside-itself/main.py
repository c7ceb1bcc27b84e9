with open("/app/count", "w") as f:
    f.write("1")
print("counted")
