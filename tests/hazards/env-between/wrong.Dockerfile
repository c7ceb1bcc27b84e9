FROM alpine:3.20
RUN mkdir /var/a && \
    echo "stage is ${STAGE:-unset}" > /etc/stage
ENV STAGE=live
