//! A terminal is given back as it was: by a screen that is dropped, and by a panic. The screen runs in a child, which
//! is this test program again, in a pseudo-terminal.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use sweep_watch::{Choice, Colors, Scene, Screen};

/// Tells the child what to do.
const ORDER: &str = "SWEEP_WATCH_TEST_ORDER";

/// What the child does. In the parent it does nothing.
#[test]
fn act_of_the_child() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let mut screen = Screen::open().unwrap();
    let scene = Scene { view: None, curve: None, note: "the screen is open", colors: Colors::Off };
    screen.draw(&scene, &Choice::default()).unwrap();
    assert!(order != "panic", "as ordered");
}

/// Has a child carry out an order in a terminal. Returns what it wrote, and whether the terminal is as before.
fn child(order: &str) -> (String, bool) {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    let slave: OwnedFd = open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
    tcsetwinsize(&slave, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let before = tcgetattr(&slave).unwrap();
    assert!(before.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO));
    let reader = std::thread::spawn(move || {
        let mut written = Vec::new();
        // The end of a pseudo-terminal is an input/output error.
        File::from(master).read_to_end(&mut written).ok();
        String::from_utf8_lossy(&written).into_owned()
    });
    let end = || Stdio::from(slave.try_clone().unwrap());
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "terminal::act_of_the_child", "--nocapture", "--test-threads=1"]).env(ORDER, order);
    command.stdin(end()).stdout(end()).stderr(end());
    command.status().unwrap();
    drop(command);
    let after = tcgetattr(&slave).unwrap();
    let is_as_before = (after.local_modes, after.input_modes, after.output_modes)
        == (before.local_modes, before.input_modes, before.output_modes);
    drop(slave);
    (reader.join().unwrap(), is_as_before)
}

const ENTERED: &str = "\x1b[?1049h";
const LEFT: &str = "\x1b[?1049l\x1b[?25h";

#[test]
fn a_screen_that_is_dropped_gives_the_terminal_back() {
    let (written, is_as_before) = child("draw");
    let (_, drawn) = written.split_once(ENTERED).unwrap();
    let (drawn, after) = drawn.split_once(LEFT).unwrap();
    // Spaces are skipped where the screen is empty.
    assert!(drawn.contains("screen") && drawn.contains("open"), "{drawn:?}");
    assert!(is_as_before, "{after}");
}

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_reported() {
    let (written, is_as_before) = child("panic");
    let (_, after) = written.split_once(LEFT).unwrap();
    assert!(after.contains("as ordered") && !after.contains(LEFT), "{after:?}");
    assert!(is_as_before, "{after}");
}
