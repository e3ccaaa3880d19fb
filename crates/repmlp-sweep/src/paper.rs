//! The numbers that the paper prints, carried by the program so that it needs no clone of its repository.

/// Each table: its file below `reports`, and its text.
pub(crate) const TABLES: [(&str, &str); 7] = [
    ("paper/table1.toml", include_str!("../../../reports/paper/table1.toml")),
    ("paper/table2.toml", include_str!("../../../reports/paper/table2.toml")),
    ("paper/table3.toml", include_str!("../../../reports/paper/table3.toml")),
    ("paper/table4.toml", include_str!("../../../reports/paper/table4.toml")),
    ("paper/table5.toml", include_str!("../../../reports/paper/table5.toml")),
    ("paper/table6.toml", include_str!("../../../reports/paper/table6.toml")),
    ("paper/table7.toml", include_str!("../../../reports/paper/table7.toml")),
];
