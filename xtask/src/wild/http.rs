//! As much of HTTP/1.1 as a load needs: one connection, one request after another.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A connection that is kept; opened anew where the server has closed it.
pub(super) struct Client {
    address: String,
    stream: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(super) fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
            stream: None,
        }
    }

    pub(super) fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        self.request("GET", path, "", b"")
    }

    /// Sends one request and reads its answer, whose status must be 2xx; returns its body.
    pub(super) fn request(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> Result<Vec<u8>> {
        let mut stream = if let Some(stream) = self.stream.take() {
            stream
        } else {
            let stream = TcpStream::connect(&self.address)
                .with_context(|| format!("cannot connect to {}", self.address))?;
            stream.set_read_timeout(Some(ANSWER_WITHIN))?;
            stream.set_nodelay(true)?;
            BufReader::new(stream)
        };
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        if !content_type.is_empty() {
            let length = body.len();
            write!(
                request,
                "Content-Type: {content_type}\r\nContent-Length: {length}\r\n"
            )?;
        }
        request.push_str("\r\n");
        let mut bytes = request.into_bytes();
        bytes.extend_from_slice(body);
        stream.get_mut().write_all(&bytes)?;
        let (status, body, keeps) =
            answer(&mut stream).with_context(|| format!("{method} {path}"))?;
        if keeps {
            self.stream = Some(stream);
        }
        ensure!(
            (200..300).contains(&status),
            "{method} {path} is answered with {status}: {}",
            String::from_utf8_lossy(&body)
                .chars()
                .take(200)
                .collect::<String>()
        );
        Ok(body)
    }
}

/// Status, body, and whether the connection stays.
fn answer(stream: &mut BufReader<TcpStream>) -> Result<(u16, Vec<u8>, bool)> {
    let mut line = String::new();
    stream.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
    let status: u16 = status.with_context(|| format!("not an answer: {line:?}"))?;
    let (mut length, mut is_chunked, mut keeps) = (None, false, true);
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        let value = value.trim().to_ascii_lowercase();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = Some(value.parse::<usize>()?),
            "transfer-encoding" => is_chunked = value == "chunked",
            "connection" => keeps = value != "close",
            _ => {}
        }
    }
    let mut body = Vec::new();
    if is_chunked {
        loop {
            line.clear();
            stream.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16)
                .with_context(|| format!("not the size of a chunk: {line:?}"))?;
            let begin = body.len();
            body.resize(begin + size, 0);
            stream.read_exact(&mut body[begin..])?;
            line.clear();
            stream.read_line(&mut line)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = length {
        body.resize(length, 0);
        stream.read_exact(&mut body)?;
    } else if status != 204 {
        bail!("an answer without a length");
    }
    Ok((status, body, keeps))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(with: &'static str) -> Result<Vec<u8>> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            assert!(stream.read(&mut request).unwrap() > 0);
            stream.write_all(with.as_bytes()).unwrap();
        });
        let body = Client::new(&address).get("/");
        server.join().unwrap();
        body
    }

    #[test]
    fn bodies_of_a_length_and_in_chunks() {
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(answered(whole).unwrap(), b"abc");
        let chunked =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n";
        assert_eq!(answered(chunked).unwrap(), b"abc");
        assert_eq!(answered("HTTP/1.1 204 No Content\r\n\r\n").unwrap(), b"");
    }

    #[test]
    fn a_status_that_is_no_success_is_an_error() {
        let err = answered("HTTP/1.1 503 Busy\r\nContent-Length: 2\r\n\r\nno").unwrap_err();
        assert!(err.to_string().contains("503: no"), "{err:#}");
    }
}
