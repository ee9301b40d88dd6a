"""Revision 0012: seals, which the upgrade checks. They show that the canonical form of rows has not changed."""

STATEMENTS: tuple[str, ...] = (
    "INSERT INTO seal VALUES ('exclusion', '1', '0fe24cc7309b42018441892030019c7e')",
    "INSERT INTO seal VALUES ('exclusion', '2', '87e77f3fe980b089b38664cb21f85957')",
    "INSERT INTO seal VALUES ('experiment', '101', 'cdb54b4fc9fce41e24d9a6787a59f009')",
    "INSERT INTO seal VALUES ('experiment', '102', '19c792cf2202dcc670bac821a4d45b62')",
    "INSERT INTO seal VALUES ('experiment', '103', '6dc1ebce674e662080220fbfa0280f32')",
    "INSERT INTO seal VALUES ('experiment', '104', 'a7b83ddc5b04c3c414085ef7a0d08537')",
    "INSERT INTO seal VALUES ('experiment', '105', '381b87af074f9ac8fed7c48e0dc03d6a')",
    "INSERT INTO seal VALUES ('line', 'Rbp4-Cre_KL100', '63613dcee0b3da8f1f469d881902fc15')",
    "INSERT INTO seal VALUES ('named_selection', '1', '213784b56a7c98d3f9afbd9a8a9d0610')",
    "INSERT INTO seal VALUES ('named_selection', '2', 'c3334385fcc9367c0a0967a533bce5ce')",
    "INSERT INTO seal VALUES ('snapshot', '1', '0013a506cec6901a230e97387e067f97')",
    "INSERT INTO seal VALUES ('snapshot', '2', '2efc78a7ba5a18fb1e28519efaf270b1')",
    "INSERT INTO seal VALUES ('snapshot', '3', '358e28b2af7d577f2051890e80aff34f')",
    "INSERT INTO seal VALUES ('structure', '304325711', 'cda48b6a80d2644ff4f00ccaad01e513')",
    "INSERT INTO seal VALUES ('structure', '385', '83cdf7ef33bb9282acc83df6540b36a8')",
    "INSERT INTO seal VALUES ('structure', '672', 'fd73eed1d0ef84d929dd2efd6f477214')",
    "INSERT INTO seal VALUES ('structure', '997', 'f5f1b46066d466c9eba23a04c628da09')",
    "INSERT INTO seal VALUES ('structure_set', '184527634', 'ea575d239c8b421c6b3e6fed1e8c1699')",
    "INSERT INTO seal VALUES ('volume', '101/projection_density/100', '584b17cd795f81d817e1148d9bca542f')",
    "INSERT INTO seal VALUES ('epoch', '2024-05-26T12:00:00+00:00', '0012')",
    "INSERT INTO unionize_seal VALUES (101, 'injection', X'e5030000000000009b5401f7ff55e807')",
    "INSERT INTO unionize_seal VALUES (101, 'projection', X'a00200000000000077f868465c2c1f13')",
)
AT_HEAD: dict[str, list[tuple[object, ...]]] = {
    "SELECT count(*) FROM seal WHERE scope = 'epoch'": [(1,)],
    "SELECT experiment_id, part FROM unionize_seal ORDER BY part": [(101, "injection"), (101, "projection")],
}
NOT_RESTORED: tuple[str, ...] = ()
