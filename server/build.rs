//! Embeds the page.

fn main() {
    memory_serve::load_directory("../frontend/assets");
}
