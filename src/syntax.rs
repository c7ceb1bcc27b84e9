pub mod joined;
pub use joined::Joined;
