from transformers import pipeline, AutoModel
model = AutoModel.from_pretrained("x")
