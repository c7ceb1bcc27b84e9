TEXT = "good morning"
