"""The program of a job run with a sparkSqlJobDriver: Spark's own SQL command line, in the driver.

Spark itself refuses to submit that one to a cluster.
"""

from __future__ import annotations

import sys

from pyspark import SparkContext

SparkContext._ensure_initialized()
gateway = SparkContext._gateway
arguments = gateway.new_array(gateway.jvm.java.lang.String, len(sys.argv) - 1)
for number, argument in enumerate(sys.argv[1:]):
    arguments[number] = argument
gateway.jvm.org.apache.spark.sql.hive.thriftserver.SparkSQLCLIDriver.main(arguments)
