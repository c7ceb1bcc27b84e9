FROM golang:1.24 AS build
WORKDIR /src
COPY . .
RUN CGO_ENABLED=0 go build -o /out/app .

FROM gcr.io/distroless/static-debian13:nonroot
ENV PORT=8080
COPY --from=build /out/app /app
CMD ["/app", "--port", "$PORT"]
