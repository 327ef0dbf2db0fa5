//! Prints the definitions.

fn main() {
    for line in ntcom_abi_definitions::lines() {
        println!("{line}");
    }
}
