//! The ways in which Rust speaks of a panic. The first argument says which.

fn main() {
    eprintln!("before");
    let which = std::env::args().nth(1).unwrap();
    match which.as_str() {
        "index" => {
            let list = [1, 2, 3];
            println!("{}", list[which.len()]);
        }
        "unwrap" => {
            Err::<(), _>("no such file\nor directory").unwrap();
        }
        "thread" => {
            let worker = std::thread::Builder::new().name("worker 1".into()).spawn(|| panic!("lost")).unwrap();
            let _ = worker.join();
            eprintln!("going on");
        }
        _ => {
            struct Twice;
            impl Drop for Twice {
                fn drop(&mut self) {
                    panic!("second");
                }
            }
            let _twice = Twice;
            panic!("first");
        }
    }
}
