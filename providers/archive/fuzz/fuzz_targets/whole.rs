//! A whole archive of any bytes: read to its end, inflated where it says so, without a panic and without memory for what
//! is only claimed.

#![no_main]

use std::io::Read;

use libfuzzer_sys::fuzz_target;
use pgferry_archive::Toc;
use pgferry_archive::block::{Block, Blocks};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let Ok(toc) = Toc::read(&mut rest) else { return };
    let mut blocks = Blocks::new(rest);
    while let Ok(Some(block)) = blocks.next_block() {
        let mut more = true;
        while more {
            more = matches!(block, Block::LargeObjects(_))
                && matches!(blocks.next_object(), Ok(Some(_)));
            if let Ok(data) = blocks.data(toc.header.compression) {
                // What a few bytes inflate to may be much.
                let _cut_short = std::io::copy(&mut data.take(1 << 20), &mut std::io::sink());
            }
        }
    }
});
