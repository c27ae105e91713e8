//! Where a host is: what the settings say, else what DNS says.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// A host and an address that it has, `host=address`, as a line of `/etc/hosts` tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Host {
    name: String,
    address: IpAddr,
}

/// Every address of a host.
///
/// # Errors
/// Where DNS knows none.
pub async fn look_up(hosts: &[Host], name: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let said = hosts.iter().filter(|host| host.name.eq_ignore_ascii_case(name)).map(|host| SocketAddr::new(host.address, port));
    let said: Vec<SocketAddr> = said.collect();
    if said.is_empty() { Ok(tokio::net::lookup_host((name, port)).await?.collect()) } else { Ok(said) }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (name, address) = text.split_once('=')?;
            (!name.is_empty()).then_some(Self { name: name.to_owned(), address: address.parse().ok()? })
        };
        read().ok_or_else(|| format!("`{text}` is no host; expected its name and an address, such as `model.example=10.0.0.7`"))
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Host> for String {
    fn from(host: Host) -> Self {
        format!("{}={}", host.name, host.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_the_settings_say_is_not_asked_of_dns() {
        let hosts: Vec<Host> = ["a.example=10.0.0.7", "b.example=::1", "a.example=10.0.0.8"].map(|text| text.parse().unwrap()).into();
        let found = look_up(&hosts, "A.example", 80).await.unwrap();
        assert_eq!(found, ["10.0.0.7:80".parse().unwrap(), "10.0.0.8:80".parse().unwrap()]);
        assert_eq!(look_up(&hosts, "127.0.0.1", 81).await.unwrap(), ["127.0.0.1:81".parse().unwrap()]);
        for bad in ["a.example", "=10.0.0.7", "a.example=here"] {
            assert!(bad.parse::<Host>().unwrap_err().contains("is no host"), "{bad}");
        }
    }
}
