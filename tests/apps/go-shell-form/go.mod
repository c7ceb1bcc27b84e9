module example.com/say

go 1.24
