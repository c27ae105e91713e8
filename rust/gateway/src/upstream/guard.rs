//! Addresses that a gateway fed by controllers does not call: whoever may write a pool would reach, through it, what only it can.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    str::FromStr,
};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

/// What an address must not be, as the end of a sentence that begins with 'is at'.
pub type Why = &'static str;

/// An address of one of the controllers.
pub const CONTROLLER: Why = "an address of a controller";
/// An address of the Kubernetes API server.
pub const API_SERVER: Why = "an address of the API server";

/// Which addresses may be called.
#[derive(Debug, Default)]
pub struct Guard {
    allowed: Vec<Network>,
    /// Addresses of hosts that are looked up again and again.
    taken: ArcSwap<BTreeMap<(Why, String), BTreeSet<IpAddr>>>,
}

impl Guard {
    /// With exceptions, which nothing else here refuses.
    #[must_use]
    pub fn new(allowed: Vec<Network>) -> Self {
        Self { allowed, taken: ArcSwap::default() }
    }

    /// Refuses these addresses of a host from now on, in place of those that it had.
    pub fn learn(&self, why: Why, host: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let key = (why, host.to_owned());
        let addresses: BTreeSet<IpAddr> = addresses.into_iter().map(|address| address.to_canonical()).collect();
        if self.taken.load().get(&key) == Some(&addresses) {
            return;
        }
        self.taken.rcu(|taken| {
            let mut taken = BTreeMap::clone(taken);
            taken.insert(key.clone(), addresses.clone());
            taken
        });
    }

    /// Those that may be called.
    ///
    /// # Errors
    /// Why not, where none may.
    pub fn admitted(&self, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Why> {
        let mut refused = None;
        let admitted: Vec<SocketAddr> = found
            .into_iter()
            .filter(|address| {
                let why = self.refusal(address.ip());
                refused = refused.or(why);
                why.is_none()
            })
            .collect();
        match refused {
            Some(why) if admitted.is_empty() => Err(why),
            _ => Ok(admitted),
        }
    }

    fn refusal(&self, address: IpAddr) -> Option<Why> {
        let address = address.to_canonical();
        if self.allowed.iter().any(|network| network.contains(address)) {
            return None;
        }
        let taken = self.taken.load();
        let refuses = |address: IpAddr| {
            let taken = taken.iter().find(|(_, addresses)| addresses.contains(&address)).map(|((why, _), _)| *why);
            taken.or_else(|| special(address)).or_else(|| is_own(address).then_some("an address of the gateway itself"))
        };
        refuses(address).or_else(|| translated(address).and_then(refuses))
    }
}

fn special(address: IpAddr) -> Option<Why> {
    let (unspecified, link_local) = match address {
        // All of 0.0.0.0/8 means this machine.
        IpAddr::V4(address) => (address.octets()[0] == 0, address.is_link_local()),
        IpAddr::V6(address) => (address.is_unspecified(), address.is_unicast_link_local()),
    };
    let broadcast = address == Ipv4Addr::BROADCAST;
    [
        (address.is_loopback(), "a loopback address"),
        (link_local, "a link-local address"),
        (unspecified, "an unspecified address"),
        (address.is_multicast() || broadcast, "a multicast address"),
    ]
    .into_iter()
    .find_map(|(is, why)| is.then_some(why))
}

/// The address that a translator to IPv4 would go on to: the well-known prefix of NAT64, and addresses that are 'compatible'.
fn translated(address: IpAddr) -> Option<IpAddr> {
    const NAT64: [u16; 6] = [0x64, 0xff9b, 0, 0, 0, 0];
    let IpAddr::V6(address) = address else { return None };
    let (segments, octets) = (address.segments(), address.octets());
    let last = octets.last_chunk::<4>()?;
    (segments[..6] == NAT64 || segments[..6] == [0; 6]).then(|| Ipv4Addr::from(*last).into())
}

/// Whether this machine has an address: only such can be listened on, unless the kernel lets anything be.
fn is_own(address: IpAddr) -> bool {
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    // Addresses for documentation, which nobody has.
    let nobodys: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::new(192, 0, 2, 1).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into(),
    };
    if binds(address) && !binds(nobodys) { true } else { reached_from(address).is_ok_and(|from| from == address) }
}

/// The address that this machine would call another from; no packet is sent.
fn reached_from(address: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((address, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Addresses with the same first bits: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => (u32::from(own) ^ u32::from(other)).leading_zeros() >= self.bits,
            (IpAddr::V6(own), IpAddr::V6(other)) => (u128::from(own) ^ u128::from(other)).leading_zeros() >= self.bits,
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
            let address: IpAddr = address.parse().ok()?;
            let all = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.map_or(Some(all), |bits| bits.parse().ok())?;
            (bits <= all).then_some(Self { address, bits })
        };
        read().ok_or_else(|| format!("`{text}` is no network; expected an address and the bits that count, such as `10.0.0.0/8`"))
    }
}

impl TryFrom<String> for Network {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        format!("{}/{}", network.address, network.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(guard: &Guard, addresses: &[&str]) -> Result<Vec<String>, Why> {
        let found = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), 80)).collect();
        guard.admitted(found).map(|admitted| admitted.iter().map(|address| address.ip().to_string()).collect())
    }

    #[test]
    fn what_is_this_machines_or_nobodys_is_refused() {
        let guard = Guard::default();
        for (address, why) in [
            ("127.0.0.1", "a loopback address"),
            ("127.8.9.10", "a loopback address"),
            ("::1", "a loopback address"),
            ("::ffff:127.0.0.1", "a loopback address"),
            ("64:ff9b::127.0.0.1", "a loopback address"),
            ("::127.0.0.1", "a loopback address"),
            ("169.254.169.254", "a link-local address"),
            ("::ffff:169.254.169.254", "a link-local address"),
            ("64:ff9b::a9fe:a9fe", "a link-local address"),
            ("fe80::1", "a link-local address"),
            ("febf::1", "a link-local address"),
            ("0.0.0.0", "an unspecified address"),
            ("0.1.2.3", "an unspecified address"),
            ("::", "an unspecified address"),
            ("::ffff:0.0.0.0", "an unspecified address"),
            ("224.0.0.1", "a multicast address"),
            ("255.255.255.255", "a multicast address"),
            ("ff02::1", "a multicast address"),
        ] {
            assert_eq!(check(&guard, &[address]), Err(why), "{address}");
        }
        for address in ["192.0.2.7", "198.51.100.1", "169.253.255.255", "2001:db8::7", "fec0::1", "64:ff9b::192.0.2.7"] {
            assert_eq!(check(&guard, &[address]).map(|admitted| admitted.len()), Ok(1), "{address}");
        }
    }

    #[test]
    fn each_address_of_an_answer_is_looked_at() {
        let guard = Guard::default();
        assert_eq!(check(&guard, &["127.0.0.1", "192.0.2.7", "::1", "192.0.2.8"]).unwrap(), ["192.0.2.7", "192.0.2.8"]);
        assert_eq!(check(&guard, &["169.254.1.1", "127.0.0.1"]), Err("a link-local address"));
        assert_eq!(check(&guard, &[]).unwrap(), [""; 0]);
    }

    #[test]
    fn what_belongs_to_controllers_and_the_api_server_is_refused_for_as_long_as_it_does() {
        let guard = Guard::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        guard.learn(CONTROLLER, "c.ns.svc", [ip("192.0.2.1"), ip("2001:db8::1")]);
        guard.learn(API_SERVER, "192.0.2.2", [ip("192.0.2.2")]);
        for (address, why) in [
            ("192.0.2.1", CONTROLLER),
            ("::ffff:192.0.2.1", CONTROLLER),
            ("64:ff9b::192.0.2.1", CONTROLLER),
            ("2001:db8::1", CONTROLLER),
            ("192.0.2.2", API_SERVER),
        ] {
            assert_eq!(check(&guard, &[address]), Err(why), "{address}");
        }
        guard.learn(CONTROLLER, "c.ns.svc", [ip("192.0.2.9")]);
        assert_eq!(check(&guard, &["192.0.2.1", "192.0.2.9"]).unwrap(), ["192.0.2.1"]);
    }

    #[test]
    fn an_address_of_this_machine_is_its_own() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("192.0.2.7".parse().unwrap()));
        if let Ok(own) = reached_from("198.51.100.1".parse().unwrap()) {
            assert_eq!(check(&Guard::default(), &[&own.to_string()]), Err("an address of the gateway itself"));
        }
    }

    #[test]
    fn exceptions_win() {
        let guard = Guard::new(vec!["127.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()]);
        guard.learn(CONTROLLER, "127.0.0.1", ["127.0.0.1".parse().unwrap()]);
        assert_eq!(check(&guard, &["127.0.0.1", "::1", "::ffff:127.0.0.9", "0.0.0.0"]).unwrap().len(), 3);
        assert_eq!(check(&guard, &["169.254.169.254"]), Err("a link-local address"));
    }

    #[test]
    fn a_network_is_an_address_and_the_bits_that_count() {
        let check = |network: &str, address: &str| network.parse::<Network>().map(|network| network.contains(address.parse().unwrap()));
        assert_eq!((check("10.0.0.0/8", "10.9.8.7"), check("10.0.0.0/8", "11.0.0.0")), (Ok(true), Ok(false)));
        assert_eq!((check("0.0.0.0/0", "9.9.9.9"), check("0.0.0.0/0", "::1")), (Ok(true), Ok(false)));
        assert_eq!((check("fd00::/8", "fdff::1"), check("10.1.2.3", "10.1.2.4")), (Ok(true), Ok(false)));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "a/8", "::/129", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().unwrap_err().contains("is no network"), "{bad}");
        }
    }
}
