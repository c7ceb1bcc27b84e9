FROM alpine:3.20
RUN umask 077 && mkdir /var/private && mkdir /var/public
