//! Which instructions of a program lock the bus.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::path::Path;

use crate::line::Line;

/// The objects of a program, as far as they were disassembled.
#[derive(Debug, Default)]
pub(crate) struct Disassembly {
    objects: HashMap<String, Object>,
}

impl Disassembly {
    /// Returns how many of the instructions executed in the object at `path` lock the bus: none
    /// where it is no file, such as code that the kernel provides.
    pub(crate) fn locked(
        &mut self,
        path: &str,
        executed: &HashMap<u64, u64>,
    ) -> Result<u64, Box<dyn Error>> {
        if !Path::new(path).is_file() {
            return Ok(0);
        }
        if !self.objects.contains_key(path) {
            self.objects.insert(path.to_owned(), Object::read(path)?);
        }
        let object = &self.objects[path];
        // libc jumps over a prefix now and then. Where more is between the instructions, callgrind
        // and objdump disagree on where the code lies.
        let between = executed
            .keys()
            .filter(|key| !object.all.contains(key))
            .count();
        if 10 * between > executed.len() {
            return Err(format!("objdump finds no instructions where {path} has run").into());
        }
        let locked = executed
            .iter()
            .filter(|(key, _)| object.locked.contains(key));
        Ok(locked.map(|(_, count)| count).sum())
    }
}

/// The addresses of an object's instructions.
#[derive(Debug, Default)]
struct Object {
    all: HashSet<u64>,
    locked: HashSet<u64>,
}

impl Object {
    fn read(path: &str) -> Result<Self, Box<dyn Error>> {
        let line = Line::new("objdump --disassemble --no-show-raw-insn").arg(path);
        let (status, code) = line.output()?;
        if !status.success() {
            return Err(format!("`{line}` failed: {status}").into());
        }
        Ok(Self::parse(&code))
    }

    /// Reads lines of an address, `:`, a tab and an instruction.
    fn parse(code: &str) -> Self {
        let mut object = Self::default();
        for line in code.lines() {
            if let Some((address, instruction)) = line.split_once(":\t")
                && let Ok(address) = u64::from_str_radix(address.trim(), 16)
            {
                object.all.insert(address);
                if locks(instruction) {
                    object.locked.insert(address);
                }
            }
        }
        object
    }
}

/// An exchange with memory locks without saying so.
fn locks(instruction: &str) -> bool {
    let mut words = instruction.split_whitespace();
    let has_prefix = words.clone().take(2).any(|word| word == "lock");
    let exchanges = words.next().is_some_and(|word| word.starts_with("xchg"));
    has_prefix || (exchanges && instruction.contains('('))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_locks() {
        let object = Object::parse(
            "000000000004fc80 <main>:\n   \
             4fc80:\tlock incq (%rdi)\n   \
             4fc84:\txacquire lock cmpxchg %esi,(%rdi)\n   \
             4fc88:\txchg   %al,0x8(%rdi)\n   \
             4fc8c:\txchg   %ax,%ax\n   \
             4fc90:\tcall   4fc80 <lock>\n",
        );

        assert_eq!(object.locked, HashSet::from([0x4fc80, 0x4fc84, 0x4fc88]));
        assert_eq!(object.all.len(), 5);
    }

    #[test]
    fn counts_the_executions_of_what_locks() {
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let object = Object::parse("  10:\tlock incq (%rdi)\n  14:\tret\n");
        let mut disassembly = Disassembly::default();
        disassembly.objects.insert(own.to_owned(), object);
        let mut locked = |executed: &[(u64, u64)]| {
            let executed = executed.iter().copied().collect();
            disassembly.locked(own, &executed).ok()
        };

        assert_eq!(locked(&[(0x10, 3), (0x14, 5)]), Some(3));
        assert_eq!(locked(&[(0x14, 5)]), Some(0));
        // The program ran where objdump sees no instruction.
        assert_eq!(locked(&[(0x10, 3), (0x11, 3)]), None);
    }

    #[test]
    fn what_is_no_file_locks_nothing() {
        let executed = HashMap::from([(0x10, 3)]);

        let locked = Disassembly::default().locked("???", &executed);

        assert_eq!(locked.unwrap(), 0);
    }
}
