"""What was sold in each country: CSV files added up, and written as Parquet.

    spark-submit sales_report.py <input> <output>

The files have the columns day, country, units and price. Where there are none yet, an example is
put there first.
"""

from __future__ import annotations

import sys

from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

COLUMNS = "day DATE, country STRING, units INT, price DECIMAL(12, 2)"
EXAMPLE = """\
day,country,units,price
2026-01-01,fr,3,9.90
2026-01-01,it,1,24.00
2026-01-02,fr,2,12.50
2026-01-02,de,5,3.20
2026-01-03,it,4,9.90
"""


def read(spark: SparkSession, place: str) -> DataFrame:
    """Return what is in the files; a value that is no number of its column's fails the job."""
    options = {"header": True, "mode": "FAILFAST", "enforceSchema": False}
    return spark.read.csv(place, COLUMNS, **options)


def put_example(spark: SparkSession, place: str) -> None:
    """Let there be a file."""
    lines = [(line,) for line in EXAMPLE.splitlines()]
    spark.createDataFrame(lines, "value STRING").coalesce(1).write.text(place)


def by_country(sales: DataFrame) -> DataFrame:
    """Add up units and revenue."""
    return (
        sales.groupBy("country")
        .agg(f.sum("units").alias("units"), f.sum(f.expr("units * price")).alias("revenue"))
        .orderBy("country")
    )


def main(source: str, target: str) -> None:
    """Read, add up, write, and print what was written."""
    spark = SparkSession.builder.appName("sales_report").getOrCreate()
    try:
        sales = read(spark, source)
    except AnalysisException as error:
        if error.getErrorClass() != "PATH_NOT_FOUND":
            raise
        print(f"nothing is in {source}: an example is put there")
        put_example(spark, source)
        sales = read(spark, source)
    # One file: there are not many countries.
    by_country(sales).coalesce(1).write.mode("overwrite").parquet(target)
    for row in spark.read.parquet(target).orderBy("country").collect():
        print(f"{row.country}: {row.units} units, {row.revenue}")
    spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
