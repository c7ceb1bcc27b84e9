FROM rust:1.85-slim
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
RUN mkdir src && echo 'fn main() {}' > src/main.rs && cargo build --release
COPY . .
RUN cargo build --release
CMD ["target/release/greeting"]
