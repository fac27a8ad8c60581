"""Tests of the platform with two teams."""
