//! Names of numbers: constants of the socket interface, and what `TCP_INFO` says in them.

use crate::script::Value;

/// The number that a name stands for.
pub(crate) fn number_of(name: &str) -> Option<i64> {
    Some(match name {
        "AF_INET" => 2,
        "AF_INET6" => 10,
        "SOCK_STREAM" => 1,
        "IPPROTO_TCP" | "SOL_TCP" => 6,
        "IPPROTO_IP" | "SOL_IP" => 0,
        "IPPROTO_IPV6" | "SOL_IPV6" => 41,
        "SOL_SOCKET" => 1,
        "INADDR_ANY" => 0,
        "SOCK_NONBLOCK" | "O_NONBLOCK" => 0o4000,
        "O_RDWR" => 2,
        "F_GETFL" => 3,
        "F_SETFL" => 4,
        "SHUT_RD" => 0,
        "SHUT_WR" => 1,
        "SHUT_RDWR" => 2,
        "POLLIN" => 1,
        "POLLOUT" => 4,
        "POLLERR" => 8,
        "POLLHUP" => 0x10,
        "POLLRDHUP" => 0x2000,
        "MSG_PEEK" => 2,
        "MSG_DONTWAIT" => 0x40,
        "MSG_WAITALL" => 0x100,
        "MSG_NOSIGNAL" => 0x4000,
        "MSG_FASTOPEN" => 0x2000_0000,
        "SIOCINQ" | "FIONREAD" => 0x541b,
        "SIOCOUTQ" => 0x5411,
        "TCP_ESTABLISHED" => 1,
        "TCP_SYN_SENT" => 2,
        "TCP_SYN_RECV" => 3,
        "TCP_FIN_WAIT1" => 4,
        "TCP_FIN_WAIT2" => 5,
        "TCP_TIME_WAIT" => 6,
        "TCP_CLOSE" => 7,
        "TCP_CLOSE_WAIT" => 8,
        "TCP_LAST_ACK" => 9,
        "TCP_LISTEN" => 10,
        "TCP_CLOSING" => 11,
        "TCP_CA_Open" => 0,
        "TCP_CA_Disorder" => 1,
        "TCP_CA_CWR" => 2,
        "TCP_CA_Recovery" => 3,
        "TCP_CA_Loss" => 4,
        "TCPI_OPT_TIMESTAMPS" => 1,
        "TCPI_OPT_SACK" => 2,
        "TCPI_OPT_WSCALE" => 4,
        "TCPI_OPT_ECN" => 8,
        "TCPI_OPT_ECN_SEEN" => 16,
        "TCPI_OPT_SYN_DATA" => 32,
        "TCP_INFINITE_SSTHRESH" => 0x7fff_ffff,
        "True" => 1,
        "False" => 0,
        _ => return None,
    })
}

/// The number that a value is. Names that nobody knows are no number.
pub(crate) fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(n) => Some(*n),
        Value::Word(name) => number_of(name),
        Value::Or(a, b) => Some(number(a)? | number(b)?),
        Value::List(one) => one.first().and_then(number),
        Value::Apply(name, arguments) if name == "htons" || name == "htonl" => number(arguments.first()?),
        _ => None,
    }
}
