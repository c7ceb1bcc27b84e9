FROM python:3.13-slim
WORKDIR /app
COPY main.py .
USER 10001
CMD ["python", "main.py"]
