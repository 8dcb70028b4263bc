use super::*;

fn read(row: &str) -> Option<(f64, Option<f64>, Option<f64>, String)> {
    let bar = bar(row.as_bytes())?;
    assert_eq!(bar.end, row.len(), "{row}");
    let Progress { current, total, rate, unit } = bar.progress;
    Some((current, total, rate.map(|rate| (rate * 1000.0).round() / 1000.0), unit.as_str().to_owned()))
}

#[test]
fn the_numbers_of_bars_are_read() {
    for (row, current, total, rate, unit) in [
        ("train:  41%|####      | 41/100 [00:04<00:05,  9.9it/s, loss=0.12]", 41.0, Some(100.0), Some(9.9), "it"),
        (" 41%|████▏     | 41/100 [00:04<00:05,  1.25s/it]", 41.0, Some(100.0), Some(0.8), "it"),
        ("  0%|          | 0/40 [00:00<?, ?it/s]", 0.0, Some(40.0), None, "it"),
        ("a: 100%|█| 5.00M/5.00M [00:00<00:00, 18.4MB/s]", 5e6, Some(5e6), Some(18.4e6), "B"),
        ("Epochs:  50%|█ | 1/2 [1:00:00<1:00:00, 3600.00s/Epoch]", 1.0, Some(2.0), Some(0.0), "Epoch"),
        ("x:  41%|## | 41/100 [00:04<00:05, 9.9it/s, a=[1, 2]]", 41.0, Some(100.0), Some(9.9), "it"),
        ("41it [00:01, 31.2it/s]", 41.0, None, Some(31.2), "it"),
        ("read: 1.20MB [00:01, 1.20MB/s]", 1.2e6, None, Some(1.2e6), "B"),
        ("download ━━━━━━╸━━━━━━  41% 0:00:05", 41.0, Some(100.0), None, "%"),
        ("   ━━━━━━━━━━━━━ 1.2/3.4 MB 5.6 MB/s eta 0:00:01", 1.2e6, Some(3.4e6), Some(5.6e6), "B"),
        ("unpack ━━━━╸━━ 12/40 0:00:01", 12.0, Some(40.0), None, "it"),
        ("12/100 ━━━━━━━━━━ 3s 10ms/step - loss: 0.3", 12.0, Some(100.0), Some(100.0), "step"),
        ("100/100 ━━━━━━━━━━ 3s 2s/step - acc: 0.3", 100.0, Some(100.0), Some(0.5), "step"),
        (" 12/100 [==>...........] - ETA: 3s - loss: 0.3", 12.0, Some(100.0), None, "it"),
        ("100/100 [==============] - 1s 10ms/step - loss: 0.3", 100.0, Some(100.0), Some(100.0), "step"),
        ("Receiving objects:  41% (41/100), 1.20 MiB | 3.40 MiB/s", 41.0, Some(100.0), Some(3_565_158.4), "B"),
        ("copied 41%", 41.0, Some(100.0), None, "%"),
    ] {
        assert_eq!(read(row), Some((current, total, rate, unit.to_owned())), "{row}");
    }
}

#[test]
fn what_draws_no_bar_is_certainly_none() {
    for row in ["", "epoch 3", "┏━━━━━━━┳━━━━━━┓", "at [00:04] it ended", "7/3 is more than 2", "[1/", "%", "12/", "━"]
    {
        assert_eq!(bar(row.as_bytes()), None, "{row}");
    }
    for row in ["accuracy 41% on 3 samples", "epoch 3/10 done", "loss 0.3 (41/100)"] {
        assert!(!bar(row.as_bytes()).unwrap().is_certain, "{row}");
    }
}

#[test]
fn a_bar_ends_where_another_line_begins() {
    for (row, expected) in [
        (" 20%|█▉ | 375/1881 [3:40:16<14:52:25, 9.9it/s][rank3]:[E918 watchdog]", "[rank3]:[E918 watchdog]"),
        (" 41%|###  | 41/100 [00:04<00:05, 9.9it/s]hello [1] there", "hello [1] there"),
        (
            "12/100 ━━━━━━ 3s 10ms/step - loss: 0.3Traceback (most recent call last):",
            "Traceback (most recent call last):",
        ),
        (" 12/100 [==>....] - ETA: 3s - loss: 0.3ERROR:root:bad", "ERROR:root:bad"),
        (" 41%|###[rank0]: torn", "[rank0]: torn"),
    ] {
        let bar = bar(row.as_bytes()).unwrap();
        assert_eq!(&row[bar.end..], expected, "{row}");
    }
}

#[test]
fn a_bar_is_the_same_while_its_numbers_change() {
    let key = |row: &str| bar(row.as_bytes()).unwrap().key;
    let first = key("epoch 1, loss 0.5:   0%|          | 0/100 [00:00<?, ?it/s]");
    assert_eq!(first, key("epoch 1, loss 3e-05:  41%|####      | 41/100 [00:04<00:05, 9.9it/s]"));
    assert_ne!(first, key("valid 1, loss 0.5:  41%|####      | 41/100 [00:04<00:05, 9.9it/s]"));
    assert_ne!(first, key("epoch 1, loss 0.5:  41%|####      | 41/101 [00:04<00:05, 9.9it/s]"));
}
