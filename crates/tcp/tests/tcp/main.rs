//! The connection from outside, over its public interface only: two endpoints in a simulated network
//! (`sim`), and one connection with a peer that is scripted segment by segment (`script`).

mod script;
mod sim;

mod acks;
mod adversary;
mod autotune;
mod bad_input;
mod challenges;
mod close;
mod closes;
mod congestion;
mod cookies;
mod defaults;
mod dsack;
mod ecn;
mod expectations;
mod goodput;
mod handshake;
mod keepalive;
mod loss;
mod path_mtu;
mod prr;
mod rack;
mod requirements;
mod reset;
mod retransmit;
mod sack;
mod tail_loss;
mod timestamps;
mod transfers;
mod undo;
mod urgent;
mod window;
