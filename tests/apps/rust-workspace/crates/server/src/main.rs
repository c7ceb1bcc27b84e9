//! Answers `GET /<grams>` with the weight as text.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

fn main() -> std::io::Result<()> {
    let port = std::env::var("PORT").unwrap_or_else(|_| "7000".into());
    for stream in TcpListener::bind(format!("0.0.0.0:{port}"))?.incoming() {
        if let Err(e) = answer(stream?) {
            eprintln!("{e}");
        }
    }
    Ok(())
}

fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let path = first.split(' ').nth(1).unwrap_or("/").trim_start_matches('/');
    let (status, body) = match path.parse() {
        _ if path == "healthz" => ("200 OK", "ok".into()),
        Ok(grams) => ("200 OK", scale::weight(grams)),
        Err(_) => ("400 Bad Request", "a number of grams, please".into()),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}\n", body.len() + 1)
}
