#![doc = include_str!("../README.md")]

mod body;
mod bridge;
mod buffers;
pub mod conditional;
mod connection;
mod error;
pub mod gateway;
mod limits;
pub mod media_type;
pub mod range;
mod reset;
pub mod rpc;
mod send_file;
mod server;
pub mod tls;

pub use body::{Body, BodyError};
pub use gateway::{Gateway, GatewayStats};
pub use limits::{Limits, RpcLimits};
pub use rpc::{Daemon, Rpc};
pub use server::{RpcListener, serve, serve_rpc};
pub use tls::Tls;
