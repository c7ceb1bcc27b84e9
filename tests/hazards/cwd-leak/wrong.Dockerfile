FROM alpine:3.20
RUN cd /var && mkdir spool2 && mkdir made-here
