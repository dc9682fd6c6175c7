//! Records in, events out: cases as data, the documentation's examples, real files, noise.

mod cases;
mod docs;
mod encode;
mod hostile;
mod noise;
mod shared_data;
mod show;
