//! Arguments of `serve`.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use clap::Args;
use clap_complete::engine::ArgValueCandidates;

use super::ResultsArgs;
use super::values::{parse_interval, parse_name};
use crate::complete;

/// Port of the page if none is named.
const PORT: u16 = 8642;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// An experiment, by name or file [default: the one that was last active].
    #[arg(add = ArgValueCandidates::new(complete::experiments))]
    pub(crate) experiment: Option<String>,
    /// One profile of the experiment [default: the one that was last active].
    #[arg(long, short, value_parser = parse_name, add = ArgValueCandidates::new(complete::profiles))]
    pub(crate) profile: Option<String>,
    #[command(flatten)]
    pub(crate) results: ResultsArgs,
    /// Address, with or without a port; port 0 chooses a free one. With an address that other machines reach, the page
    /// needs a token, which is part of the printed address.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_address, default_value = "127.0.0.1:8642")]
    pub(crate) listen: SocketAddr,
    /// Time between two looks at the results folder, such as 500ms or 10s.
    #[arg(long, value_name = "TIME", value_parser = parse_interval, default_value = "1s")]
    pub(crate) interval: Duration,
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
