//! Arguments of `serve`.

use std::net::{IpAddr, SocketAddr};

use clap::Args;

use super::shown::ShownArgs;

/// Port of the page if none is named.
const PORT: u16 = 8642;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(crate) shown: ShownArgs,
    /// Address, with or without a port; port 0 chooses a free one. With an address that other machines reach, the page
    /// needs a token, which is part of the printed address.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:8642")]
    pub(crate) listen: SocketAddr,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let only_ip = |text: &str| text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT)).ok();
    let named = text.strip_prefix("localhost").map(|rest| format!("127.0.0.1{rest}"));
    let text = named.as_deref().unwrap_or(text);
    text.parse().ok().or_else(|| only_ip(text)).ok_or_else(|| {
        "an address is a number with or without a port: 127.0.0.1, 0.0.0.0:8642, [::1]:0; or localhost".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port_or_the_usual_one() {
        for (text, address) in [
            ("127.0.0.1", "127.0.0.1:8642"),
            ("localhost:0", "127.0.0.1:0"),
            ("localhost", "127.0.0.1:8642"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("::1", "[::1]:8642"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(parse_address(text).unwrap().to_string(), address, "{text}");
        }
        assert!(parse_address("example.org").is_err() && parse_address("127.0.0.1:70000").is_err());
    }
}
