fn main() {
    println!("good morning");
}
