FROM debian:trixie-slim
COPY --chmod=755 tool.sh /root/bin/tool
USER 10001
CMD ["/root/bin/tool"]
