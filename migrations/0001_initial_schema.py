"""Create the first schema: ontology, experiments, unionize records, volumes, datasets, and the views for SQL users."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite assigns row ids only to a column of exactly the type INTEGER.
ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

EXPERIMENTS = """
CREATE VIEW experiments AS
SELECT
    e.id,
    e.specimen_name,
    e.product_id,
    s.acronym AS primary_structure,
    e.primary_structure_id,
    s.name AS primary_structure_name,
    e.transgenic_line,
    e.strain,
    e.sex,
    e.injection_volume,
    e.injection_ap,
    e.injection_dv,
    e.injection_ml,
    e.injected_hemisphere,
    e.hemisphere_source,
    e.injection_volume_left,
    e.injection_volume_right,
    CASE
        WHEN e.injection_volume_left IS NULL OR e.injection_volume_right IS NULL THEN NULL
        WHEN e.injection_volume_left < e.injection_volume_right
            THEN e.injection_volume_left >= 0.01 * (e.injection_volume_left + e.injection_volume_right)
        ELSE e.injection_volume_right > 0
            AND e.injection_volume_right >= 0.01 * (e.injection_volume_left + e.injection_volume_right)
    END AS bilateral,
    e.projection_volume,
    e.withdrawn
FROM experiment AS e
JOIN structure AS s ON s.id = e.primary_structure_id
"""

_UNIONIZE_COLUMNS = """
    u.experiment_id,
    u.structure_id,
    s.acronym AS structure,
    s.name AS structure_name,
    u.hemisphere_id,
    CASE u.hemisphere_id WHEN 1 THEN 'left' WHEN 2 THEN 'right' ELSE 'both' END AS hemisphere,
    CASE
        WHEN u.hemisphere_id = 3 THEN 'both'
        WHEN e.injected_hemisphere IS NULL THEN NULL
        WHEN (u.hemisphere_id = 1) = (e.injected_hemisphere = 'left') THEN 'ipsilateral'
        ELSE 'contralateral'
    END AS side,
    u.sum_pixels,
    u.sum_projection_pixels,
    u.sum_pixel_intensity,
    u.sum_projection_pixel_intensity,
    u.projection_density,
    u.projection_intensity,
    u.projection_energy,
    u.volume,
    u.projection_volume,
    u.normalized_projection_volume,
    u.max_voxel_density,
    u.max_voxel_x,
    u.max_voxel_y,
    u.max_voxel_z
FROM unionize AS u
JOIN structure AS s ON s.id = u.structure_id
JOIN experiment AS e ON e.id = u.experiment_id
"""

INJECTION_SUMMARY = f"CREATE VIEW injection_summary AS SELECT {_UNIONIZE_COLUMNS} WHERE u.is_injection"

PROJECTIONS = f"CREATE VIEW projections AS SELECT {_UNIONIZE_COLUMNS} WHERE NOT u.is_injection"

DATASET_VERSIONS = """
CREATE VIEW dataset_versions AS
SELECT
    d.name,
    v.number,
    v.fingerprint,
    v.content_sha256,
    v.spacing_um,
    v.group_count,
    v.member_count,
    v.created_at,
    v.created_by,
    v.software,
    v.recipe,
    v.path,
    v.size_bytes
FROM dataset_version AS v
JOIN dataset AS d ON d.id = v.dataset_id
"""

VIEWS = {
    "experiments": EXPERIMENTS,
    "injection_summary": INJECTION_SUMMARY,
    "projections": PROJECTIONS,
    "dataset_versions": DATASET_VERSIONS,
}


def upgrade() -> None:
    _create_store_tables()
    _create_ontology_tables()
    _create_experiment_tables()
    _create_unionize_tables()
    _create_dataset_tables()
    for statement in VIEWS.values():
        op.execute(statement)


def _create_store_tables() -> None:
    op.create_table(
        "store_info",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column(
            "store_id", sa.String(), nullable=False, comment="The same id is in store.toml in the store's folder"
        ),
        sa.Column(
            "format_version", sa.Integer(), nullable=False, comment="Version of the layout of the store's folder"
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_with", sa.String(), nullable=False, comment="Version of bsv-store that created the store"),
        sa.CheckConstraint("id = 1", name=op.f("ck_store_info_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_store_info")),
    )
    op.create_table(
        "source_snapshot",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("what", sa.String(), nullable=False, comment="structures, experiments or unionizes"),
        sa.Column("kind", sa.String(), nullable=False, comment="Kind of source: api, csv, csv_2016, file"),
        sa.Column("source", sa.String(), nullable=False, comment="URL or file name"),
        sa.Column("upstream_date", sa.Date(), nullable=True, comment="Date of the content upstream, if known"),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "content_sha256", sa.String(), nullable=False, comment="Hash of the content, independent of its file format"
        ),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column("added", sa.Integer(), nullable=False),
        sa.Column("changed", sa.Integer(), nullable=False),
        sa.Column("withdrawn", sa.Integer(), nullable=False),
        sa.CheckConstraint("what in ('structures', 'experiments', 'unionizes')", name=op.f("ck_source_snapshot_what")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_source_snapshot")),
    )
    op.create_index(op.f("ix_source_snapshot_content_sha256"), "source_snapshot", ["content_sha256"], unique=False)
    op.create_table(
        "claim",
        sa.Column("object_key", sa.String(), nullable=False, comment="e.g. volume/projection_density/100/158375425"),
        sa.Column("owner", sa.String(), nullable=False, comment="host, process and a random part"),
        sa.Column(
            "token",
            sa.BigInteger(),
            nullable=False,
            comment="Increases with each new owner, so that a worker that lost its claim is detected",
        ),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False, comment="Time of the database's clock"),
        sa.PrimaryKeyConstraint("object_key", name=op.f("pk_claim")),
    )


def _create_ontology_tables() -> None:
    op.create_table(
        "structure",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Allen's structure id"),
        sa.Column("acronym", sa.String(), nullable=False, comment="Case matters: CM and cm are two structures"),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("parent_structure_id", sa.BigInteger(), nullable=True),
        sa.Column("depth", sa.Integer(), nullable=False, comment="0 for the root"),
        sa.Column("graph_order", sa.Integer(), nullable=False, comment="Position in Allen's order of the graph"),
        sa.Column("structure_id_path", sa.String(), nullable=False, comment="Ids from the root, e.g. /997/8/567/"),
        sa.Column("color_hex_triplet", sa.String(length=6), nullable=False),
        sa.Column(
            "withdrawn", sa.Boolean(), nullable=False, comment="Not in the structure graph that was ingested last"
        ),
        sa.ForeignKeyConstraint(
            ["parent_structure_id"], ["structure.id"], name=op.f("fk_structure_parent_structure_id_structure")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure")),
        sa.UniqueConstraint("acronym", name=op.f("uq_structure_acronym")),
    )
    op.create_index(op.f("ix_structure_parent_structure_id"), "structure", ["parent_structure_id"], unique=False)
    op.create_table(
        "structure_ancestor",
        sa.Column("descendant_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("ancestor_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("distance", sa.Integer(), nullable=False, comment="Steps up from descendant to ancestor; 0 = itself"),
        sa.ForeignKeyConstraint(
            ["ancestor_id"], ["structure.id"], name=op.f("fk_structure_ancestor_ancestor_id_structure")
        ),
        sa.ForeignKeyConstraint(
            ["descendant_id"], ["structure.id"], name=op.f("fk_structure_ancestor_descendant_id_structure")
        ),
        sa.PrimaryKeyConstraint("descendant_id", "ancestor_id", name=op.f("pk_structure_ancestor")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_structure_ancestor_ancestor_id_descendant_id",
        "structure_ancestor",
        ["ancestor_id", "descendant_id"],
        unique=False,
    )
    op.create_table(
        "structure_set",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_structure_set")),
    )
    op.create_table(
        "structure_set_member",
        sa.Column("structure_set_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("structure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("fk_structure_set_member_structure_id_structure")
        ),
        sa.ForeignKeyConstraint(
            ["structure_set_id"],
            ["structure_set.id"],
            name=op.f("fk_structure_set_member_structure_set_id_structure_set"),
        ),
        sa.PrimaryKeyConstraint("structure_set_id", "structure_id", name=op.f("pk_structure_set_member")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_structure_set_member_structure_id"), "structure_set_member", ["structure_id"], unique=False
    )


def _create_experiment_tables() -> None:
    op.create_table(
        "transgenic_line",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("allen_id", sa.BigInteger(), nullable=True),
        sa.Column("type_name", sa.String(), nullable=True, comment="driver, reporter or wild type; null = unknown"),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("stock_number", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transgenic_line")),
        sa.UniqueConstraint("name", name=op.f("uq_transgenic_line_name")),
    )
    op.create_table(
        "experiment",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False, comment="Allen's id"),
        sa.Column("specimen_name", sa.String(), nullable=True),
        sa.Column("product_id", sa.Integer(), nullable=True),
        sa.Column("primary_structure_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "transgenic_line",
            sa.String(),
            nullable=True,
            comment="Names of the lines that are not wild type, sorted, joined by '/'; null = wild type",
        ),
        sa.Column("strain", sa.String(), nullable=True),
        sa.Column("sex", sa.String(), nullable=True),
        sa.Column("injection_volume", sa.Double(), nullable=True, comment="mm3, from the list"),
        sa.Column(
            "injection_ap", sa.Integer(), nullable=True, comment="um; the densest voxel of the 10 um injection grid"
        ),
        sa.Column("injection_dv", sa.Integer(), nullable=True, comment="um"),
        sa.Column("injection_ml", sa.Integer(), nullable=True, comment="um; left of the midline below 5,700"),
        sa.Column("projection_volume", sa.Double(), nullable=True, comment="mm3 outside the injection, from the list"),
        sa.Column("injected_hemisphere", sa.String(), nullable=True, comment="left or right"),
        sa.Column(
            "hemisphere_source",
            sa.String(),
            nullable=True,
            comment="unionize: the side with the larger injection; coordinate: if no unionize rows are in the store",
        ),
        sa.Column(
            "injection_volume_left", sa.Double(), nullable=True, comment="mm3, from the unionize rows of the root"
        ),
        sa.Column(
            "injection_volume_right", sa.Double(), nullable=True, comment="mm3, from the unionize rows of the root"
        ),
        sa.Column("storage_directory", sa.String(), nullable=True),
        sa.Column(
            "source_kind", sa.String(), nullable=False, comment="Kind of list that the row is from: api, csv, csv_2016"
        ),
        sa.Column(
            "withdrawn",
            sa.Boolean(),
            nullable=False,
            comment="Not in the current list: the newest API list, or else the newest CSV export",
        ),
        sa.CheckConstraint(
            "hemisphere_source in ('unionize', 'coordinate')", name=op.f("ck_experiment_hemisphere_source")
        ),
        sa.CheckConstraint("injected_hemisphere in ('left', 'right')", name=op.f("ck_experiment_injected_hemisphere")),
        sa.ForeignKeyConstraint(
            ["primary_structure_id"], ["structure.id"], name=op.f("fk_experiment_primary_structure_id_structure")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment")),
    )
    op.create_index(op.f("ix_experiment_primary_structure_id"), "experiment", ["primary_structure_id"], unique=False)
    op.create_table(
        "experiment_line",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("transgenic_line_id", ROW_ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_experiment_line_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(
            ["transgenic_line_id"],
            ["transgenic_line.id"],
            name=op.f("fk_experiment_line_transgenic_line_id_transgenic_line"),
        ),
        sa.PrimaryKeyConstraint("experiment_id", "transgenic_line_id", name=op.f("pk_experiment_line")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_experiment_line_transgenic_line_id"), "experiment_line", ["transgenic_line_id"], unique=False
    )
    op.create_table(
        "experiment_injection_structure",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("structure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["experiment.id"],
            name=op.f("fk_experiment_injection_structure_experiment_id_experiment"),
        ),
        sa.ForeignKeyConstraint(
            ["structure_id"], ["structure.id"], name=op.f("fk_experiment_injection_structure_structure_id_structure")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "structure_id", name=op.f("pk_experiment_injection_structure")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_experiment_injection_structure_structure_id"),
        "experiment_injection_structure",
        ["structure_id"],
        unique=False,
    )
    op.create_table(
        "experiment_revision",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False, comment="Kind of list: api, csv, csv_2016"),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("payload", sa.String(), nullable=False, comment="The record as canonical JSON"),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_experiment_revision_experiment_id_experiment")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiment_revision")),
        sa.UniqueConstraint(
            "experiment_id", "kind", "sha256", name=op.f("uq_experiment_revision_experiment_id_kind_sha256")
        ),
    )
    op.create_table(
        "snapshot_member",
        sa.Column("snapshot_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("revision_id", ROW_ID, autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(
            ["revision_id"], ["experiment_revision.id"], name=op.f("fk_snapshot_member_revision_id_experiment_revision")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["source_snapshot.id"], name=op.f("fk_snapshot_member_snapshot_id_source_snapshot")
        ),
        sa.PrimaryKeyConstraint("snapshot_id", "revision_id", name=op.f("pk_snapshot_member")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_snapshot_member_revision_id"), "snapshot_member", ["revision_id"], unique=False)


def _create_unionize_tables() -> None:
    op.create_table(
        "unionize",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("structure_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "hemisphere_id", sa.Integer(), autoincrement=False, nullable=False, comment="1 left, 2 right, 3 both"
        ),
        sa.Column("is_injection", sa.Boolean(), nullable=False, comment="Inside the injection site"),
        sa.Column("id", sa.BigInteger(), nullable=False, comment="Allen's id of the record"),
        sa.Column("sum_pixels", sa.Double(), nullable=False),
        sa.Column("sum_projection_pixels", sa.Double(), nullable=False),
        sa.Column("sum_pixel_intensity", sa.Double(), nullable=False),
        sa.Column("sum_projection_pixel_intensity", sa.Double(), nullable=False),
        sa.Column("projection_density", sa.Double(), nullable=False, comment="0 to 1: projecting pixels / pixels"),
        sa.Column("projection_intensity", sa.Double(), nullable=False),
        sa.Column("projection_energy", sa.Double(), nullable=False),
        sa.Column("volume", sa.Double(), nullable=False, comment="mm3"),
        sa.Column("projection_volume", sa.Double(), nullable=False, comment="mm3"),
        sa.Column(
            "normalized_projection_volume", sa.Double(), nullable=False, comment="projection_volume / injection volume"
        ),
        sa.Column("max_voxel_density", sa.Double(), nullable=False),
        sa.Column("max_voxel_x", sa.Integer(), nullable=False, comment="um, AP; 0 where the density is 0"),
        sa.Column("max_voxel_y", sa.Integer(), nullable=False, comment="um, DV"),
        sa.Column("max_voxel_z", sa.Integer(), nullable=False, comment="um, ML"),
        sa.CheckConstraint(
            "hemisphere_id = 1 OR hemisphere_id = 2 OR hemisphere_id = 3",
            name=op.f("ck_unionize_hemisphere_id"),
        ),
        sa.PrimaryKeyConstraint(
            "experiment_id", "structure_id", "hemisphere_id", "is_injection", name=op.f("pk_unionize")
        ),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_unionize_target",
        "unionize",
        ["structure_id", "is_injection", "hemisphere_id", "projection_volume", "experiment_id"],
        unique=False,
    )
    op.create_table(
        "unionize_coverage",
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("part", sa.String(), nullable=False, comment="injection or projection"),
        sa.Column("snapshot_id", ROW_ID, nullable=False),
        sa.Column("row_count", sa.Integer(), nullable=False),
        sa.Column(
            "content_sha256", sa.String(), nullable=False, comment="Hash of the rows, independent of their file format"
        ),
        sa.CheckConstraint("part in ('injection', 'projection')", name=op.f("ck_unionize_coverage_part")),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_unionize_coverage_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(
            ["snapshot_id"], ["source_snapshot.id"], name=op.f("fk_unionize_coverage_snapshot_id_source_snapshot")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "part", name=op.f("pk_unionize_coverage")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_unionize_coverage_snapshot_id"), "unionize_coverage", ["snapshot_id"], unique=False)
    op.create_table(
        "volume",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False, comment="projection_density, injection_fraction, ..."),
        sa.Column("spacing_um", sa.Integer(), nullable=False),
        sa.Column("size_ap", sa.Integer(), nullable=False, comment="Voxels along AP"),
        sa.Column("size_dv", sa.Integer(), nullable=False, comment="Voxels along DV"),
        sa.Column("size_ml", sa.Integer(), nullable=False, comment="Voxels along ML"),
        sa.Column("path", sa.String(), nullable=False, comment="Relative to the store's folder"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.String(), nullable=False),
        sa.Column(
            "file_xxh3", sa.String(), nullable=False, comment="64 bits, 16 hexadecimal digits; checked on every read"
        ),
        sa.Column(
            "array_sha256", sa.String(), nullable=False, comment="Of the decoded array: little-endian float32, C order"
        ),
        sa.Column("encoding", sa.String(), nullable=False, comment="sparse or dense"),
        sa.Column(
            "value_count",
            sa.BigInteger(),
            nullable=False,
            comment="Number of stored voxels: those that are not 0, or all",
        ),
        sa.Column(
            "index_offset",
            sa.BigInteger(),
            nullable=True,
            comment="Byte offset of the indices in the file; null = dense or chunked",
        ),
        sa.Column(
            "value_offset",
            sa.BigInteger(),
            nullable=True,
            comment="Byte offset of the values in the file; null = dense or chunked",
        ),
        sa.Column("no_data_voxels", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.String(), nullable=False, comment="URL or file name of its origin"),
        sa.Column("fetched_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("encoding in ('sparse', 'dense')", name=op.f("ck_volume_encoding")),
        sa.ForeignKeyConstraint(["experiment_id"], ["experiment.id"], name=op.f("fk_volume_experiment_id_experiment")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_volume")),
        sa.UniqueConstraint(
            "experiment_id", "kind", "spacing_um", name=op.f("uq_volume_experiment_id_kind_spacing_um")
        ),
        sa.UniqueConstraint("path", name=op.f("uq_volume_path")),
    )


def _create_dataset_tables() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column(
            "last_number",
            sa.Integer(),
            nullable=False,
            comment="Highest version number ever assigned; numbers are not reused",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset")),
        sa.UniqueConstraint("name", name=op.f("uq_dataset_name")),
    )
    op.create_table(
        "dataset_version",
        sa.Column("id", ROW_ID, nullable=False),
        sa.Column("dataset_id", ROW_ID, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(), nullable=False, comment="Canonical JSON"),
        sa.Column(
            "fingerprint", sa.String(), nullable=False, comment="SHA-256 over recipe, inputs and algorithm version"
        ),
        sa.Column("algorithm_version", sa.Integer(), nullable=False),
        sa.Column(
            "content_sha256", sa.String(), nullable=False, comment="Of the result arrays, little-endian, C order"
        ),
        sa.Column("path", sa.String(), nullable=False, comment="Relative to the store's folder"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("file_sha256", sa.String(), nullable=False),
        sa.Column("spacing_um", sa.Integer(), nullable=False),
        sa.Column("group_count", sa.Integer(), nullable=False),
        sa.Column("member_count", sa.Integer(), nullable=False, comment="Experiments in the result"),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("software", sa.String(), nullable=False, comment="Versions of bsv-store, NumPy, h5py and Python"),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_version_dataset_id_dataset")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_dataset_version")),
        sa.UniqueConstraint("dataset_id", "fingerprint", name=op.f("uq_dataset_version_dataset_id_fingerprint")),
        sa.UniqueConstraint("dataset_id", "number", name=op.f("uq_dataset_version_dataset_id_number")),
    )
    op.create_table(
        "dataset_group",
        sa.Column("version_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False, comment="From 0"),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("lower", sa.Double(), nullable=True, comment="um, lower edge of a coordinate bin"),
        sa.Column("upper", sa.Double(), nullable=True, comment="um, upper edge of a coordinate bin"),
        sa.Column("center", sa.Double(), nullable=True, comment="um, mean injection coordinate of the members"),
        sa.Column("member_count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_group_version_id_dataset_version")
        ),
        sa.PrimaryKeyConstraint("version_id", "number", name=op.f("pk_dataset_group")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "dataset_member",
        sa.Column("version_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("experiment_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("group_number", sa.Integer(), nullable=True, comment="null = left out"),
        sa.Column("left_out_reason", sa.String(), nullable=True),
        sa.Column("array_sha256", sa.String(), nullable=True, comment="Hash of the volume that was averaged"),
        sa.Column("divisor", sa.Double(), nullable=True, comment="What the volume was divided by; 1 = not normalized"),
        sa.Column("injected_hemisphere", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["experiment_id"], ["experiment.id"], name=op.f("fk_dataset_member_experiment_id_experiment")
        ),
        sa.ForeignKeyConstraint(
            ["version_id", "group_number"],
            ["dataset_group.version_id", "dataset_group.number"],
            name=op.f("fk_dataset_member_version_id_group_number_dataset_group"),
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_member_version_id_dataset_version")
        ),
        sa.PrimaryKeyConstraint("version_id", "experiment_id", name=op.f("pk_dataset_member")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_dataset_member_experiment_id"), "dataset_member", ["experiment_id"], unique=False)
    op.create_table(
        "dataset_tag",
        sa.Column("dataset_id", ROW_ID, autoincrement=False, nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("version_id", ROW_ID, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name=op.f("fk_dataset_tag_dataset_id_dataset")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_version.id"], name=op.f("fk_dataset_tag_version_id_dataset_version")
        ),
        sa.PrimaryKeyConstraint("dataset_id", "tag", name=op.f("pk_dataset_tag")),
    )
    op.create_index(op.f("ix_dataset_tag_version_id"), "dataset_tag", ["version_id"], unique=False)


# In the order of creation; dropped in reverse order.
TABLES = (
    "store_info",
    "source_snapshot",
    "claim",
    "structure",
    "structure_ancestor",
    "structure_set",
    "structure_set_member",
    "transgenic_line",
    "experiment",
    "experiment_line",
    "experiment_injection_structure",
    "experiment_revision",
    "snapshot_member",
    "unionize",
    "unionize_coverage",
    "volume",
    "dataset",
    "dataset_version",
    "dataset_group",
    "dataset_member",
    "dataset_tag",
)


def downgrade() -> None:
    for name in VIEWS:
        op.execute(f"DROP VIEW {name}")
    for name in reversed(TABLES):
        op.drop_table(name)
