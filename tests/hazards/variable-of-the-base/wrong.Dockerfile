FROM gcr.io/distroless/nodejs22-debian13:nonroot
WORKDIR /app
COPY index.js .
ENV RELEASE=shop-on-node-$NODE_VERSION
CMD ["index.js"]
