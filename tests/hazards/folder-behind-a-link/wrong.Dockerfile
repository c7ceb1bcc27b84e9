FROM alpine:3.20
RUN mkdir /home/real && ln -s real /app
COPY --chown=1400:1400 app /app/
