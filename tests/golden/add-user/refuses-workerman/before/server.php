<?php
require 'vendor/autoload.php';

use Workerman\Worker;

$worker = new Worker('http://0.0.0.0:8080');
Worker::runAll();
